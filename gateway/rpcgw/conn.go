package rpcgw

import (
	"context"
	"crypto/tls"
	"errors"
	"net"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
)

// handshaken are the credentials of connections whose handshake, if there was one,
// is done: they come from a listener that had to look into them.
type handshaken struct{}

// connInfo is what is known of a connection.
type connInfo struct {
	credentials.CommonAuthInfo
	conn net.Conn
	tls  *tls.ConnectionState // nil without TLS
}

// AuthType names the kind of credentials.
func (connInfo) AuthType() string { return "edda" }

func (handshaken) ServerHandshake(c net.Conn) (net.Conn, credentials.AuthInfo, error) {
	info := connInfo{conn: c}
	if t, ok := c.(interface{ ConnectionState() tls.ConnectionState }); ok {
		state := t.ConnectionState()
		info.tls = &state
		info.SecurityLevel = credentials.PrivacyAndIntegrity
	}
	return c, info, nil
}

func (handshaken) ClientHandshake(context.Context, string, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("these credentials are a server's")
}

func (handshaken) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "edda"}
}

func (handshaken) Clone() credentials.TransportCredentials { return handshaken{} }
func (handshaken) OverrideServerName(string) error         { return nil }

// tlsOf returns the TLS state of the connection that a call came over, nil without
// TLS.
func tlsOf(ctx context.Context) *tls.ConnectionState {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil
	}
	switch info := p.AuthInfo.(type) {
	case connInfo:
		return info.tls
	case credentials.TLSInfo: // of net/http
		return &info.State
	}
	return nil
}

// hangUp closes the connection that a call came over, where gRPC has it for
// itself: a peer that reads nothing would not hear of an end in good order.
func hangUp(ctx context.Context) {
	if p, ok := peer.FromContext(ctx); ok {
		if info, ok := p.AuthInfo.(connInfo); ok {
			_ = info.conn.Close()
		}
	}
}
