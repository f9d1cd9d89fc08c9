"""An identity provider beside the cluster: OpenID Connect as far as logging in with kubectl needs it.

`issuer` is the provider without HTTP: who is logged in, and the tokens. `app` speaks HTTP: the discovery document, the keys,
the token endpoint, and the account page with its login script.
"""
