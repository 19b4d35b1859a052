package eddav1_test

import (
	"testing"

	"github.com/bufbuild/protocompile"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/testing/protocmp"

	eddav1 "github.com/edda-io/edda/rpc/edda/v1"
)

// compile reads edda.proto as it is now.
func compile(t *testing.T) protoreflect.FileDescriptor {
	t.Helper()
	compiler := protocompile.Compiler{Resolver: &protocompile.SourceResolver{ImportPaths: []string{"../../.."}}}
	files, err := compiler.Compile(t.Context(), "rpc/edda/v1/edda.proto")
	if err != nil {
		t.Fatal(err)
	}
	return files[0]
}

// TestGeneratedCodeIsOfTheProto fails when edda.proto was changed and `make
// proto` not run.
func TestGeneratedCodeIsOfTheProto(t *testing.T) {
	want := protodesc.ToFileDescriptorProto(compile(t))
	got := protodesc.ToFileDescriptorProto(eddav1.File_rpc_edda_v1_edda_proto)
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("the generated code is not of edda.proto (-proto +code), run make proto:\n%s", diff)
	}
}

func TestGeneratedServicesAreOfTheProto(t *testing.T) {
	services := compile(t).Services()
	generated := map[string]*grpc.ServiceDesc{}
	for _, d := range []*grpc.ServiceDesc{
		&eddav1.WorkerService_ServiceDesc, &eddav1.EddaService_ServiceDesc, &eddav1.SagaService_ServiceDesc, &eddav1.StreamService_ServiceDesc,
		&eddav1.ChannelService_ServiceDesc,
	} {
		generated[d.ServiceName] = d
	}
	if len(generated) != services.Len() {
		t.Errorf("%d services are generated, edda.proto has %d", len(generated), services.Len())
	}
	for i := range services.Len() {
		s := services.Get(i)
		d := generated[string(s.FullName())]
		if d == nil {
			t.Errorf("service %s is not generated", s.FullName())
			continue
		}
		if got, want := methodsOf(d), methodsIn(s); !cmp.Equal(got, want) {
			t.Errorf("service %s, methods and what of them streams (client, server):\n got %v\nwant %v", s.FullName(), got, want)
		}
	}
}

func methodsOf(d *grpc.ServiceDesc) map[string][2]bool {
	m := map[string][2]bool{}
	for _, u := range d.Methods {
		m[u.MethodName] = [2]bool{}
	}
	for _, s := range d.Streams {
		m[s.StreamName] = [2]bool{s.ClientStreams, s.ServerStreams}
	}
	return m
}

func methodsIn(s protoreflect.ServiceDescriptor) map[string][2]bool {
	m := map[string][2]bool{}
	for i := range s.Methods().Len() {
		d := s.Methods().Get(i)
		m[string(d.Name())] = [2]bool{d.IsStreamingClient(), d.IsStreamingServer()}
	}
	return m
}
