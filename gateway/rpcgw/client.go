package rpcgw

import (
	"context"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/auth"
	eddav1 "github.com/edda-io/edda/rpc/edda/v1"
)

// received reads a message of somebody who may call its service.
func received(grant *auth.Grant, m *eddav1.Message) (*edda.Message, error) {
	out, err := messageOf(m)
	if err != nil {
		return nil, err
	}
	out.Principal = grant.Principal
	return out, grant.CheckCall(out.To.Namespace, out.To.Name)
}

// Send makes a request durable.
func (g *Gateway) Send(ctx context.Context, r *eddav1.SendRequest) (*eddav1.Ack, error) {
	m, err := received(grantOf(ctx), r.GetMessage())
	if err != nil {
		return nil, err
	}
	ctx, ended := g.traceCall(ctx, eddav1.EddaService_Send_FullMethodName, m)
	ack, err := g.calls.Send(ctx, m)
	ended(err)
	if err != nil {
		return nil, err
	}
	return ackOf(ack), nil
}

// Call makes a request durable and returns its reply.
func (g *Gateway) Call(ctx context.Context, r *eddav1.CallRequest) (*eddav1.CallResponse, error) {
	m, err := received(grantOf(ctx), r.GetMessage())
	if err != nil {
		return nil, err
	}
	ctx, ended := g.traceCall(ctx, eddav1.EddaService_Call_FullMethodName, m)
	reply, err := g.calls.Call(ctx, m)
	ended(err)
	if err != nil {
		return nil, err
	}
	return response(reply), nil
}

// ownRequest returns the id of a request that the caller may see. Who may see all need
// not be asked which one it is.
func (g *Gateway) ownRequest(ctx context.Context, namespace string, b []byte) (edda.ID, error) {
	id, err := idOf("id", b)
	if err != nil {
		return id, err
	}
	grant := grantOf(ctx)
	if grant.Manage {
		return id, nil
	}
	r, err := g.calls.Request(ctx, namespace, id)
	if err != nil {
		return id, err
	}
	return id, grant.CheckRequest(r)
}

// Wait returns the reply to a request that was sent.
func (g *Gateway) Wait(ctx context.Context, r *eddav1.WaitRequest) (*eddav1.CallResponse, error) {
	id, err := g.ownRequest(ctx, r.GetNamespace(), r.GetId())
	if err != nil {
		return nil, err
	}
	reply, err := g.calls.Wait(ctx, r.GetNamespace(), id)
	if err != nil {
		return nil, err
	}
	return response(reply), nil
}

// Parts returns the parts of a reply as they come, then the reply.
func (g *Gateway) Parts(r *eddav1.PartsRequest, stream eddav1.EddaService_PartsServer) error {
	ctx := stream.Context()
	after, err := edda.ParsePartID(r.GetAfter())
	if err != nil {
		return err
	}
	id, err := g.ownRequest(ctx, r.GetNamespace(), r.GetId())
	if err != nil {
		return err
	}
	for p, err := range g.calls.Parts(ctx, r.GetNamespace(), id, after) {
		if err == nil {
			err = stream.Send(&eddav1.PartsResponse{Event: &eddav1.PartsResponse_Part{Part: &eddav1.PartInfo{
				Number: p.ID().String(), Attempt: uint32(p.Attempt), Reset_: p.Reset, ContentType: printable(p.ContentType), Payload: p.Payload,
			}}})
		}
		if err != nil {
			return err
		}
	}
	reply, err := g.calls.Wait(ctx, r.GetNamespace(), id)
	if err != nil {
		return err
	}
	return stream.Send(&eddav1.PartsResponse{Event: &eddav1.PartsResponse_End{End: response(reply)}})
}

// Get returns what is known of a request.
func (g *Gateway) Get(ctx context.Context, r *eddav1.GetRequest) (*eddav1.RequestInfo, error) {
	id, err := g.ownRequest(ctx, r.GetNamespace(), r.GetId())
	if err != nil {
		return nil, err
	}
	return infoOf(g.calls.Request(ctx, r.GetNamespace(), id))
}

// Cancel ends a request at once.
func (g *Gateway) Cancel(ctx context.Context, r *eddav1.GetRequest) (*eddav1.RequestInfo, error) {
	id, err := g.ownRequest(ctx, r.GetNamespace(), r.GetId())
	if err != nil {
		return nil, err
	}
	return infoOf(g.calls.Cancel(ctx, r.GetNamespace(), id))
}

func infoOf(r *edda.Request, err error) (*eddav1.RequestInfo, error) {
	if err != nil {
		return nil, err
	}
	return requestInfo(r), nil
}
