/** Packages of which production loads one build of several, and nothing else of their weight. */
const unusedFolders: Readonly<Record<string, readonly string[]>> = {
  echarts: ['dist', 'asset', 'build', 'extension', 'i18n', 'ssr', 'theme', 'types'],
  zrender: ['dist', 'build'],
};
const unusedFiles: Readonly<Record<string, RegExp>> = {
  pdfkit: /^js\/pdfkit\.(?:browser|standalone|old|node\.old)/,
  fontkit: /^dist\/browser/,
};
/** At a package's top: what its authors work with. Deeper such a name can be code (yaml has dist/doc). */
const authorsFolders = new Set([
  'test',
  'tests',
  '__tests__',
  'docs',
  'doc',
  'examples',
  'example',
  'benchmark',
  'types',
]);
const declarationsAndMaps = /\.(?:map|tsbuildinfo|flow|markdown)$|\.[cm]?ts$|\.d\.[cm]ts$/;
const prose = /(?:^|\/)(?:readme|changelog|history|contributing|security)(?:\.[a-z]+)*\.(?:md|txt)$/i;

/** Whether a file of a production dependency goes into the bundle. @param file within the package, with forward slashes */
export function isLoadedInProduction(packageName: string, file: string): boolean {
  const [top = ''] = file.split('/');
  const isNested = file.includes('/');
  if (declarationsAndMaps.test(file) || prose.test(file)) return false;
  if (isNested && (authorsFolders.has(top) || top.startsWith('.'))) return false;
  if (isNested && unusedFolders[packageName]?.includes(top)) return false;
  return unusedFiles[packageName]?.test(file) !== true;
}

/** Whether a file of our own package goes into the bundle: what is published, less declarations and what only checkouts use. */
export function isOwnProductionFile(file: string): boolean {
  // TypeScript outside dist/ is there to be read and changed: experiments and examples.
  if (!file.startsWith('dist/')) return true;
  return !declarationsAndMaps.test(file) && !/^dist\/(?:bench|docs|test|ci\/bundle)\/|^dist\/\./.test(file);
}
