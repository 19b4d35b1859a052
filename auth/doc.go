// Package auth says who a caller is and what it may do: an Authenticator makes
// of a Credential, a bearer token or a client's certificate, a Grant, which
// names a principal and its rights. There are authenticators for static tokens
// (NewTokens), JSON Web Tokens (OpenJWT), tokens that a service of the user's knows
// (NewService) and client certificates (NewCertificates); Func makes one of a function,
// FirstOf one of several. An API key is a token that is shown in another header
// (Credential.WithKey).
//
// Nothing here knows a transport. A gateway reads the credential of whatever it
// serves, and asks Admit:
//
//	c, err := auth.Read(r.Header["Authorization"], r.TLS)  // over HTTP, and as a WebSocket begins
//	c, err := auth.Read(md.Get("authorization"), tlsState) // over gRPC, from metadata and peer.AuthInfo
//	grant, err := auth.Admit(ctx, authenticator, c)
//	err = grant.CheckCall(namespace, service)              // or CheckHost, CheckManage, CheckRequest
//
// What sagas ask for stands in CheckSteps (to create), CheckSaga (to see and act),
// CheckFinish, VisibleSagas (to list) and AdmitKey (a completion key instead of
// credentials); compensations and pruning ask for CheckManage. What streams ask for
// stands in CheckAppend, CheckRead, CheckConsume (to be a member of a group) and
// CheckSeeStream; whatever changes a stream or a group asks for CheckManage. What
// channels ask for stands in CheckPublish, CheckSubscribe (to subscribe, and to see
// history and presence) and CheckSeeChannel; whatever changes one asks for CheckManage.
//
// Each error is an *edda.Error that the gateway answers as it is: NO_CREDENTIALS
// where it is not known who asks, NOT_ALLOWED where the principal may not. The
// message then carries grant.Principal. What lives longer than one request, such
// as a worker's stream, ends at grant.Expires.
//
// Without an authenticator everybody is edda.Anonymous with every right; a node
// may then listen on loopback only. ServerTLS and ClientTLS make the
// configurations of both ends of a connection from files.
//
// Everything is safe for concurrent use. OpenJWT alone starts a goroutine, which
// ends with JWT.Close.
package auth
