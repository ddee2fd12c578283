// Package quota says how much callers and tenants may use: the rates of an
// address, an identity, a key and a tenant. Who asks, and what is refused by
// other rules, it does not know; counting is internal/ratelimit's.
package quota
