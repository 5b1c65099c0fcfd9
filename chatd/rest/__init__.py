"""The HTTP edge: routes to aiohttp, errors to problem+json, declarations to OpenAPI and AsyncAPI."""
