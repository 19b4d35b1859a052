package route_test

import (
	"fmt"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/route"
)

func Example() {
	m := &edda.Message{Type: "get", Headers: edda.Headers{ // as a route made it of GET /users/a%2Fb?page=2
		{Name: route.HeaderMethod, Value: "GET"},
		{Name: route.HeaderPath, Value: "/users/a%2Fb"},
		{Name: route.HeaderParams, Value: "id=a%2Fb"},
		{Name: route.HeaderQuery, Value: "page=2"},
	}}
	fmt.Println(route.Method(m), route.Path(m), route.Param(m, "id"), route.Query(m).Get("page"))
	// Output: GET /users/a%2Fb a/b 2
}

func TestMessageThatCameOtherwise(t *testing.T) {
	m := &edda.Message{}
	if route.Method(m) != "" || route.Path(m) != "" || route.Param(m, "id") != "" {
		t.Error("a message without headers has a method, path or parameter")
	}
	if q := route.Query(m); q == nil || len(q) != 0 {
		t.Errorf("got query %#v, want an empty one", q)
	}
}

func TestMalformedQuery(t *testing.T) {
	m := &edda.Message{Headers: edda.Headers{{Name: route.HeaderQuery, Value: "a=%zz&b=1&b=2"}}}
	if q := route.Query(m); q.Has("a") || len(q["b"]) != 2 {
		t.Errorf("got %v, want what is sound of it", q)
	}
}
