/** What `/openapi.json` says of a server's routes: their paths and methods, without bodies and schemas. */
export function openApiOf(
  routes: Readonly<Record<string, Readonly<Record<string, unknown>>>>,
  info: { readonly title: string; readonly version: string },
): unknown {
  const paths = Object.entries(routes).map(([path, methods]) => [
    path,
    Object.fromEntries(
      Object.keys(methods).map((method) => [
        method.toLowerCase(),
        { responses: { 200: { description: 'Successful Response' } } },
      ]),
    ),
  ]);
  return { openapi: '3.1.0', info, paths: Object.fromEntries(paths) };
}
