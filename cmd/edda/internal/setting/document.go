package setting

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	koanfyaml "github.com/knadh/koanf/parsers/yaml"
	"go.yaml.in/yaml/v3"
)

// document is a koanf.Parser of files that are one YAML document. The parser of koanf
// leaves whatever comes after the first one unread, and unsaid.
type document struct {
	*koanfyaml.YAML

	root *yaml.Node // what was read
}

// Unmarshal reads the document. Others after it may be empty.
func (doc *document) Unmarshal(b []byte) (map[string]any, error) {
	d := yaml.NewDecoder(bytes.NewReader(b))
	var n yaml.Node
	if err := d.Decode(&n); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	if err := alone(d, &n); err != nil {
		return nil, err
	}
	if kind := n.Content[0].Kind; kind != yaml.MappingNode && n.Content[0].Tag != "!!null" {
		return nil, fmt.Errorf("line %d must begin with the name of a setting and a colon, such as listen: 127.0.0.1:7400", n.Content[0].Line)
	}
	doc.root = n.Content[0]
	var m map[string]any
	return m, n.Decode(&m)
}

// alone refuses what is left after a document.
func alone(d *yaml.Decoder, first *yaml.Node) error {
	for {
		var n yaml.Node
		err := d.Decode(&n)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err == nil && n.Content[0].Tag == "!!null" && n.Content[0].Value == "":
		case err == nil:
			return fmt.Errorf("line %d begins a second document: a file is one, without a --- between its settings", n.Content[0].Line)
		case first.Content[0].Column > 1:
			return fmt.Errorf("line %d does not belong to the settings above it, which begin in column %d (line %d): "+
				"settings of the same level are indented alike", lineOf(err), first.Content[0].Column, first.Content[0].Line)
		default:
			return fmt.Errorf("line %d does not belong to what is above it: a file is one document, whose settings of the same level are indented alike", lineOf(err))
		}
	}
}

// lineOf returns the line of what is no document, which the error of package yaml counts
// from zero, and leaves out when it is zero.
func lineOf(err error) int {
	_, after, _ := strings.Cut(err.Error(), "line ")
	digits, _, _ := strings.Cut(after, ":")
	line, _ := strconv.Atoi(digits)
	return line + 1
}
