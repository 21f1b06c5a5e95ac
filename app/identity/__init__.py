"""Ways to come in: directory, OpenID provider, second factors, API keys. None of it knows a request or a page."""
