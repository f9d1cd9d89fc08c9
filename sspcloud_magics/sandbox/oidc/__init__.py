"""The identity provider: the part of OpenID Connect that a login with kubectl needs.

`issuer` keeps the logins and issues the tokens. `app` serves them over HTTP: the discovery document, the
keys, the token endpoint, and the account page with its login script.
"""
