"""The HTTP API of a view: routes, parameters, responses, event stream, OpenAPI document."""
