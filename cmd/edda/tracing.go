package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// tracing returns what takes spans, as OpenTelemetry's variables in the environment
// say, and what sends the last of them and ends it. It is nil when they name no
// place to send spans to.
func tracing(ctx context.Context, logger *slog.Logger) (trace.TracerProvider, func(context.Context), error) {
	none := func(context.Context) {}
	wanted, err := tracingWanted(os.Getenv)
	if err != nil || !wanted {
		return nil, none, err
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, none, fmt.Errorf("send spans: %w", err)
	}
	described, err := resource.New(ctx,
		resource.WithAttributes(attribute.String("service.name", "edda"), attribute.String("service.version", buildVersion())),
		resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil {
		return nil, none, fmt.Errorf("send spans: OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	lost := func(err error) { logger.Warn("spans are lost", "error", err) }
	otel.SetErrorHandler(otel.ErrorHandlerFunc(lost))
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(described))
	return provider, func(ctx context.Context) {
		if err := provider.Shutdown(ctx); err != nil {
			lost(err)
		}
	}, nil
}

// tracingWanted reports whether the environment names a place to send spans to, in a
// way that is spoken here.
func tracingWanted(getenv func(string) string) (bool, error) {
	if strings.EqualFold(getenv("OTEL_SDK_DISABLED"), "true") {
		return false, nil
	}
	exporter := getenv("OTEL_TRACES_EXPORTER")
	switch exporter {
	case "none":
		return false, nil
	case "":
		if cmp.Or(getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"), getenv("OTEL_EXPORTER_OTLP_ENDPOINT")) == "" {
			return false, nil
		}
	case "otlp":
	default:
		return false, fmt.Errorf("OTEL_TRACES_EXPORTER is %q, must be otlp or none", exporter)
	}
	protocol := cmp.Or(getenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"), getenv("OTEL_EXPORTER_OTLP_PROTOCOL"), "http/protobuf")
	if protocol != "http/protobuf" {
		return false, fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL is %q; only http/protobuf is spoken, at port 4318 of most collectors", protocol)
	}
	return true, nil
}
