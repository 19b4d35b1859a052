package node

import "github.com/edda-io/edda"

// Describe returns what a node knows of a service, with the JSON Schemas that follow
// from the Go types of its methods: what Attach needs from whoever hosts the service
// elsewhere. The error is an *edda.Error, BadValue, for a type that has no schema.
func Describe(s *edda.Service) (edda.ServiceSpec, error) {
	spec := s.Spec()
	all, err := schemasOf([]*edda.Service{s})
	if err != nil {
		return spec, err
	}
	for method, sc := range all[0].methods {
		if sc.json == nil {
			continue
		}
		if spec.Schemas == nil {
			spec.Schemas = map[string]string{}
		}
		spec.Schemas[method] = string(sc.json)
	}
	return spec, nil
}
