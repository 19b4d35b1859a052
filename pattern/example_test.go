package pattern_test

import (
	"fmt"

	"github.com/edda-io/edda/pattern"
)

func ExampleParse() {
	p, err := pattern.Parse("test.:crud")
	if err != nil {
		panic(err)
	}
	fmt.Println(p.Match("test.created"), p.Match("test.created.list"), p.Match("Test.created"))

	_, err = pattern.Parse("test.:")
	fmt.Println(err)
	// Output:
	// true false false
	// pattern "test.:": segment 2, ":", has no name after its colon
}

func ExampleParseFold() {
	p, err := pattern.ParseFold("test.:id?.(created|updated)")
	if err != nil {
		panic(err)
	}
	fmt.Println(p.Match("Test.42.Created"), p.Match("test.updated."), p.Match("test.deleted"))
	// Output: true true false
}

// What the object does not have is taken from what it was before.
func ExamplePattern_Fill() {
	p, err := pattern.Parse("test.:test_uuid.created")
	if err != nil {
		panic(err)
	}
	data, previous := map[string]string{"name": "ada"}, map[string]string{"test_uuid": "42"}
	eventType, err := p.Fill(func(name string) (string, bool) {
		if v, ok := data[name]; ok {
			return v, true
		}
		v, ok := previous[name]
		return v, ok
	})
	fmt.Println(p.Params(), eventType, err)
	// Output: [test_uuid] test.42.created <nil>
}

// Ids are in the order of registration if they are given in it, and a handler that
// several patterns lead to runs once.
func ExampleSet() {
	handlers := []string{"audit", "welcome", "report"}
	var s pattern.Set
	for id, texts := range [][]string{{"*"}, {"user.created"}, {"user.*", ":what.created"}} {
		for _, text := range texts {
			p, err := pattern.Parse(text)
			if err != nil {
				panic(err)
			}
			s.Add(p, id)
		}
	}
	for _, id := range s.AppendMatches(nil, "user.created") {
		fmt.Println(handlers[id])
	}
	// Output:
	// audit
	// welcome
	// report
}
