package auth_test

import (
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/auth"
)

func TestStreamRights(t *testing.T) {
	producer := &auth.Grant{Principal: "ada", Rights: auth.Rights{Append: []auth.Pattern{"orders", "shop:*"}, Call: []auth.Pattern{"*:*"}}}
	consumer := &auth.Grant{Principal: "bob", Rights: auth.Rights{Read: []auth.Pattern{"orders", "shop:*"}, Host: []auth.Pattern{"*:*"}}}
	manager := &auth.Grant{Principal: "eve", Rights: auth.Rights{Manage: true}}
	anybody := &auth.Grant{Principal: "zoe", Rights: auth.Everything()}
	for name, tc := range map[string]struct {
		check   func(g *auth.Grant, namespace, stream string) error
		may     []*auth.Grant
		refused string
	}{
		"append":  {(*auth.Grant).CheckAppend, []*auth.Grant{producer, anybody}, `"bob" may not append to shop:orders`},
		"read":    {(*auth.Grant).CheckRead, []*auth.Grant{consumer, manager, anybody}, `"ada" may not read shop:orders`},
		"consume": {(*auth.Grant).CheckConsume, []*auth.Grant{consumer, anybody}, `"ada" may not consume shop:orders`},
		"see":     {(*auth.Grant).CheckSeeStream, []*auth.Grant{producer, consumer, manager, anybody}, ""},
	} {
		may := map[*auth.Grant]bool{}
		for _, g := range tc.may {
			may[g] = true
		}
		for _, g := range []*auth.Grant{producer, consumer, manager, anybody} {
			err := tc.check(g, "shop", "orders")
			if (err == nil) != may[g] {
				t.Errorf("%s of shop:orders by %s: got %v, want it allowed: %v", name, g.Principal, err, may[g])
			}
			if (tc.check(g, "", "orders") == nil) != may[g] {
				t.Errorf("%s of orders by %s: want it allowed: %v", name, g.Principal, may[g])
			}
		}
		if tc.refused != "" {
			refuser := consumer
			if name != "append" {
				refuser = producer
			}
			wantReason(t, name, tc.check(refuser, "shop", "orders"), edda.NotAllowed, tc.refused)
		}
	}
	for _, g := range []*auth.Grant{producer, consumer} {
		wantReason(t, "see", g.CheckSeeStream("other", "orders"), edda.NotAllowed, "may neither append to nor read other:orders")
		if g.MaySeeStream("", "order") {
			t.Errorf("%s sees a stream that nobody named", g.Principal)
		}
	}
}

func TestStreamPatternsAreValidated(t *testing.T) {
	for name, r := range map[string]auth.Rights{"append": {Append: []auth.Pattern{"a b"}}, "read": {Read: []auth.Pattern{":"}}} {
		wantReason(t, name, r.Validate(), edda.BadValue, "pattern")
	}
}
