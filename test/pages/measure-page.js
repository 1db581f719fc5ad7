// Evaluated in a page; layout.ts says what comes out.
(() => {
  const boxOf = (text, rect) => ({
    text,
    left: rect.left,
    top: rect.top + window.scrollY,
    right: rect.right,
    bottom: rect.bottom + window.scrollY,
  });
  const charts = [...document.querySelectorAll('svg')].map((svg) => ({
    box: boxOf('chart', svg.getBoundingClientRect()),
    labels: [...svg.querySelectorAll('text')]
      .filter((text) => text.textContent.trim() !== '')
      .map((text) => boxOf(text.textContent, text.getBoundingClientRect())),
    // A clip path of its own holds the line of each series.
    series: [...svg.querySelectorAll('g[clip-path]')].length,
    colors: [...svg.querySelectorAll('text')].map((text) => getComputedStyle(text).fill),
  }));
  // What is folded away has a place, too.
  const folded = (element) => element.closest('details:not([open])') !== null && element.closest('summary') === null;
  const lines = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node !== null; node = walker.nextNode()) {
    const { parentElement } = node;
    if (node.textContent.trim() === '' || parentElement.closest('svg, style') || folded(parentElement)) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const rect of range.getClientRects()) lines.push(boxOf(node.textContent, rect));
  }
  const overflowing = [...document.querySelectorAll('td, th, h1, h2, p, dd, dt, caption, summary')]
    .filter((element) => !folded(element) && element.clientWidth > 0 && element.scrollWidth > element.clientWidth + 1)
    .map((element) => element.textContent);
  return {
    charts,
    lines,
    overflowing,
    elements: [...new Set([...document.querySelectorAll('*')].map((element) => element.localName))],
    links: [...document.querySelectorAll('a')].map((link) => link.href),
    background: getComputedStyle(document.body).backgroundColor,
    color: getComputedStyle(document.body).color,
    pageWidth: document.documentElement.scrollWidth,
    windowWidth: window.innerWidth,
  };
})();
