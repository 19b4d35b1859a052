package httpgw

import (
	"cmp"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/edda-io/edda/gateway/httpgw/internal/apidoc"
	"github.com/edda-io/edda/gateway/httpgw/internal/sitefile"
	"github.com/edda-io/edda/gateway/internal/httpio"
	"github.com/edda-io/edda/internal/option"
)

// Page is a site of files that a gateway serves, to everybody, without credentials.
type Page struct {
	// Path is where it is found: the file app.js of "/chat" at /chat/app.js, and
	// index.html at /chat/. "/" is the root. The node's own paths, and all below /v1,
	// stay the node's.
	Path string
	// Files are what is served; what has a name that begins with a dot, ".well-known"
	// aside, is not. The FS of an os.Root keeps links from leading out of a directory.
	Files fs.FS
}

// site is a Page that is served.
type site struct {
	prefix string // ends in a slash
	files  fs.FS
	route  *route
}

// newSites checks pages, and returns them with the longest path first. The own paths are
// those of the node.
func newSites(pages []Page, own []*route, m *httpio.Metrics) ([]site, error) {
	var all []site
	for i, p := range pages {
		if err := checkPage(p, pages[:i], own); err != nil {
			return nil, option.Refuse(option.In("Pages", option.InElement(i, "", err)))
		}
		prefix := strings.TrimSuffix(p.Path, "/") + "/"
		rt := &route{template: prefix + "*", open: true}
		rt.ops = []op{get(func(_ *Gateway, x *exchange) error {
			return x.serveFile(p.Files, x.r.URL.Path[len(prefix):])
		}, apidoc.Operation{})}
		rt.allow, rt.meter = []string{allow(rt.ops)}, m.Meter(rt.template)
		all = append(all, site{prefix, p.Files, rt})
	}
	slices.SortStableFunc(all, func(a, b site) int { return cmp.Compare(len(b.prefix), len(a.prefix)) })
	return all, nil
}

func checkPage(p Page, before []Page, own []*route) error {
	switch {
	case p.Files == nil:
		return option.Bad("Files", "is nil")
	case !strings.HasPrefix(p.Path, "/") || path.Clean(p.Path) != p.Path || strings.ContainsAny(p.Path, `%?#*{}\`):
		return option.Bad("Path", "is %q, must be like /chat: from a slash on, without one at its end", p.Path)
	case ofNode(p.Path):
		return option.Bad("Path", "is %q, but all below /v1 is the node's own", p.Path)
	case slices.ContainsFunc(own, func(rt *route) bool { return rt.template == p.Path }):
		return option.Bad("Path", "is %q, which is one of the node's own", p.Path)
	case slices.ContainsFunc(before, func(q Page) bool { return q.Path == p.Path }):
		return option.Bad("Path", "is %q, which an earlier one has too", p.Path)
	}
	return nil
}

// serveFile answers with a file.
func (x *exchange) serveFile(files fs.FS, name string) (err error) {
	x.status, err = sitefile.Serve(x.w, x.r, files, name)
	return err
}

// siteOf returns the route of the site that a path belongs to; nil when there is none.
func (g *Gateway) siteOf(path string) *route {
	if ofNode(path) {
		return nil
	}
	for i := range g.sites {
		if strings.HasPrefix(path, g.sites[i].prefix) {
			return g.sites[i].route
		}
	}
	return nil
}
