/** Pages that show `/openapi.json` to a browser, with what FastAPI's own load from the same place. */
const CDN = 'https://cdn.jsdelivr.net/npm';

export const SWAGGER_PAGE = `<!DOCTYPE html>
<html>
<head>
<meta name="viewport" content="width=device-width, initial-scale=1.0">
<link rel="stylesheet" href="${CDN}/swagger-ui-dist@5/swagger-ui.css">
<title>FastAPI - Swagger UI</title>
</head>
<body>
<div id="swagger-ui"></div>
<script src="${CDN}/swagger-ui-dist@5/swagger-ui-bundle.js"></script>
<script>SwaggerUIBundle({ url: '/openapi.json', dom_id: '#swagger-ui' });</script>
</body>
</html>
`;

export const REDOC_PAGE = `<!DOCTYPE html>
<html>
<head>
<meta charset="utf-8">
<title>FastAPI - ReDoc</title>
</head>
<body>
<redoc spec-url="/openapi.json"></redoc>
<script src="${CDN}/redoc@2/bundles/redoc.standalone.js"></script>
</body>
</html>
`;
