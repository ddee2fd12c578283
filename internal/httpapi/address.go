package httpapi

import (
	"net/http"
	"net/netip"
)

// clientAddress is where a request comes from, as far as this server knows by
// itself: the other end of its connection. No header is believed. The zero
// address stands for a connection that has none (a Unix socket).
func clientAddress(req *http.Request) netip.Addr {
	at, err := netip.ParseAddrPort(req.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr().Unmap().WithZone("")
}
