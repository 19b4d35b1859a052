package httpgw

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/gateway/httpgw/internal/jsonbody"
	"github.com/edda-io/edda/gateway/httpgw/internal/reqhead"
	"github.com/edda-io/edda/internal/specjson"
	"github.com/edda-io/edda/internal/streamjson"
)

// listGroups answers with a page of the groups of a stream.
func (g *Gateway) listGroups(x *exchange) error {
	q, err := x.query()
	if err != nil {
		return err
	}
	p, err := reqhead.PageOf(q)
	if err != nil {
		return err
	}
	all, err := g.groups.Groups(x.r.Context(), x.namespace, x.args[0])
	if err != nil {
		return err
	}
	from, found := slices.BinarySearchFunc(all, p.After, func(g edda.Group, after string) int { return strings.Compare(g.Name, after) })
	if found {
		from++
	}
	items, next := all[from:], ""
	if len(items) > p.Limit {
		items = items[:p.Limit]
		next = items[p.Limit-1].Name
	}
	docs := make([]streamjson.Group, len(items))
	for i := range items {
		docs[i] = streamjson.NewGroup(&items[i])
	}
	return page(x, docs, next)
}

// groupRef is the group that the path names.
func (x *exchange) groupRef() edda.GroupRef {
	return edda.GroupRef{Namespace: x.namespace, Stream: x.args[0], Group: x.args[1]}
}

func (g *Gateway) getGroup(x *exchange) error {
	gr, err := g.groups.Group(x.r.Context(), x.groupRef())
	if err != nil {
		return err
	}
	return x.json(http.StatusOK, streamjson.NewGroup(gr))
}

// putGroup creates a group, or makes of one that there is what the body says: what is
// not in it has its default again.
func (g *Gateway) putGroup(x *exchange) error {
	s := edda.GroupSpec{Namespace: x.namespace, Stream: x.args[0], Name: x.args[1]}
	err := g.objectOrNothing(x, jsonbody.Members{
		"from":              jsonbody.Place("from", &s.From),
		"minMembers":        jsonbody.AtLeast1("minMembers", &s.MinMembers),
		"maxMembers":        jsonbody.Value("maxMembers", &s.MaxMembers, "a number, 0 for no limit"),
		"processingTimeout": jsonbody.Positive("processingTimeout", &s.ProcessingTimeout),
		"idleTimeout":       jsonbody.Positive("idleTimeout", &s.IdleTimeout),
		"retry": func(v json.RawMessage) (err error) {
			s.Retry, err = specjson.Retry("retry", v)
			return err
		},
	})
	if err != nil {
		return err
	}
	gr, created, err := g.groups.SetGroup(x.r.Context(), s)
	if err != nil {
		return err
	}
	return x.made(created, x.streamPath(s.Stream)+"/groups/"+s.Name, streamjson.NewGroup(gr))
}

func (g *Gateway) deleteGroup(x *exchange) error {
	if err := g.groups.DeleteGroup(x.r.Context(), x.groupRef()); err != nil {
		return err
	}
	return x.noContent()
}

// resetGroup sets the cursor, and answers with what the group is then.
func (g *Gateway) resetGroup(x *exchange) error {
	var to edda.From
	var shard string
	if err := g.object(x, jsonbody.Members{"to": jsonbody.Place("to", &to), "shard": jsonbody.Text("shard", &shard)}); err != nil {
		return err
	}
	if to == "" {
		return jsonbody.Bad("to", jsonbody.WantPlace)
	}
	gr, err := g.groups.ResetGroup(x.r.Context(), x.groupRef(), shard, to)
	if err != nil {
		return err
	}
	return x.json(http.StatusOK, streamjson.NewGroup(gr))
}

// readGroup gives a member messages.
func (g *Gateway) readGroup(x *exchange) error {
	r := edda.GroupRead{GroupRef: x.groupRef()}
	err := g.object(x, jsonbody.Members{
		"member": jsonbody.Needed("member", &r.Member),
		"max": func(v json.RawMessage) error {
			if jsonbody.IsNull(v) || json.Unmarshal(v, &r.Max) != nil || r.Max < 1 || r.Max > reqhead.MaxLimit {
				return jsonbody.Bad("max", "a number from 1 to 1000")
			}
			return nil
		},
		"wait": x.waitMember(&r.Wait),
	})
	if err != nil {
		return err
	}
	if r.Member == "" {
		return jsonbody.Bad("member", "the name of who reads")
	}
	got, err := g.groups.ReadGroup(x.r.Context(), r)
	if err != nil {
		return err
	}
	b := append(make([]byte, 0, 4<<10), `{"items":[`...)
	for i := range got {
		if i > 0 {
			b = append(b, ',')
		}
		b = streamjson.AppendDelivery(b, x.namespace, &got[i])
	}
	x.document(http.StatusOK, append(b, ']', '}'))
	return nil
}

func (g *Gateway) ackLeases(x *exchange) error {
	s := edda.Settle{GroupRef: x.groupRef()}
	return g.settle(x, &s, jsonbody.Members{}, g.groups.Ack)
}

func (g *Gateway) rejectLeases(x *exchange) error {
	s := edda.Settle{GroupRef: x.groupRef()}
	return g.settle(x, &s, jsonbody.Members{"error": jsonbody.String("error", &s.Error), "for": jsonbody.Positive("for", &s.For)}, g.groups.Reject)
}

func (g *Gateway) extendLeases(x *exchange) error {
	s := edda.Settle{GroupRef: x.groupRef()}
	return g.settle(x, &s, jsonbody.Members{"for": jsonbody.Positive("for", &s.For)}, g.groups.Extend)
}

// settle reads what a member has to say of its leases, and answers with what became of
// them.
func (g *Gateway) settle(x *exchange, s *edda.Settle, known jsonbody.Members, do func(context.Context, edda.Settle) (*edda.Settled, error)) error {
	known["leases"] = jsonbody.Value("leases", &s.Leases, "an array of leases")
	if err := g.object(x, known); err != nil {
		return err
	}
	if len(s.Leases) == 0 {
		return jsonbody.Bad("leases", "an array of leases, at least one")
	}
	done, err := do(x.r.Context(), *s)
	if err != nil {
		return err
	}
	doc := streamjson.Settled{Done: done.Done, Stale: done.Stale}
	if doc.Stale == nil {
		doc.Stale = []string{}
	}
	return x.json(http.StatusOK, doc)
}
