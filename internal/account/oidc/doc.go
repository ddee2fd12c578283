// Package oidc lets people sign in to their accounts by the word of other providers
// (OpenID Connect Core 1.0, authorization code with PKCE). It owns which account is
// whose at which provider, and the ways to providers that nobody has come back from,
// in the database, so that any process of a node finishes what another began.
//
// A person is who they are by issuer and subject, never by an e-mail address. A
// provider is one that the operator named: no other host is called. It knows no HTTP
// but that of providers, and begins no session itself: package account does.
package oidc
