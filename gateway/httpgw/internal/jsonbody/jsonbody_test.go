package jsonbody_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/gateway/httpgw/internal/jsonbody"
)

type boat struct {
	name, shard string
	length      int
	age         time.Duration
	from        edda.From
}

func (b *boat) members() jsonbody.Members {
	return jsonbody.Members{
		"name": jsonbody.String("name", &b.name), "shard": jsonbody.Text("shard", &b.shard), "from": jsonbody.Place("from", &b.from),
		"hull": jsonbody.Within("hull", jsonbody.Members{
			"length": jsonbody.AtLeast1("hull.length", &b.length), "age": jsonbody.Positive("hull.age", &b.age),
		}),
	}
}

func TestRead(t *testing.T) {
	var b boat
	err := b.members().Read([]byte(` {"name":"","hull":{"length":3,"age":"1h"},"from":7,"shard":"eu"} `), "an object")
	if want := (boat{"", "eu", 3, time.Hour, edda.FromOffset(7)}); err != nil || b != want {
		t.Errorf("got %+v, %v, want %+v", b, err, want)
	}
}

func TestReadRefuses(t *testing.T) {
	for body, want := range map[string]struct {
		reason edda.Reason
		text   string
	}{
		`[]`:                              {edda.BadJSON, "it must be an object"},
		`{"name":"a"`:                     {edda.BadJSON, "it must be an object"},
		"{\"name\":\"\xff\"}":             {edda.BadJSON, "it must be an object"},
		`{"nam":"a"}`:                     {edda.UnknownField, `unknown member "nam"; there are from, hull, name, shard`},
		`{"hull":{"beam":1}}`:             {edda.UnknownField, `unknown member "hull.beam"; there are age, length`},
		`{"":1,"":2}`:                     {edda.UnknownField, `unknown member ""; there are from, hull, name, shard`},
		`{"x":1,"x":1}`:                   {edda.UnknownField, `unknown member "x"; there are from, hull, name, shard`},
		`{"hull":3}`:                      {edda.BadValue, "hull must be an object"},
		`{"hull":null}`:                   {edda.BadValue, "hull must be an object"},
		`{"hull":{"length":0}}`:           {edda.BadValue, "hull.length must be a number from 1 on"},
		`{"hull":{"age":"-1s"}}`:          {edda.BadValue, `hull.age must be a duration above zero, such as "1.5s"`},
		`{"name":null}`:                   {edda.BadValue, "name must be a string"},
		`{"shard":""}`:                    {edda.BadValue, "shard must be left out or not empty"},
		`{"from":true}`:                   {edda.BadValue, "from must be " + jsonbody.WantPlace},
		`{"name":"a","name":"a"}`:         {edda.BadValue, "name must be given once"},
		`{"name":7,"\u006eame":"a"}`:      {edda.BadValue, "name must be given once"},
		`{"hull":{"age":1,"age":2}}`:      {edda.BadValue, "hull.age must be given once"},
		`{"hull":{},"name":"","hull":{}}`: {edda.BadValue, "hull must be given once"},
	} {
		err := new(boat).members().Read([]byte(body), "it must be an object")
		if e, ok := errors.AsType[*edda.Error](err); !ok || e.Reason != want.reason || e.Error() != want.text {
			t.Errorf("%s: got %v, want %s %s", body, err, want.reason, want.text)
		}
	}
	err := jsonbody.Members(nil).Read([]byte(`{"a":1}`), "")
	if err == nil || !strings.HasSuffix(err.Error(), "there are none") {
		t.Errorf("got %v, want that there are none", err)
	}
}
