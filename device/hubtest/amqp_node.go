package hubtest

import (
	"fmt"
	"net/url"
	"strings"
)

// node is what an address of AMQP leads to.
type node uint8

const (
	nodeCBS      node = iota + 1 // where tokens are put
	nodeTwin                     // requests, answers, changes
	nodeEvents                   // telemetry, in
	nodeMethods                  // direct methods: answers in, calls out
	nodeMessages                 // cloud to device: never
)

// Conditions of AMQP that the hub gives.
const (
	condUnauthorized = "amqp:unauthorized-access"
	condNotFound     = "amqp:not-found"
	condNotAllowed   = "amqp:not-allowed"
	condForced       = "amqp:link:detach-forced"
	condLimit        = "amqp:resource-limit-exceeded"
)

// address is where a link leads, its ids as they were received.
type address struct {
	node           node
	device, module string
}

// parseAddress reads the forms of the official SDKs: with or without the hub's
// URL and the leading slash, the fixed parts in any case.
func parseAddress(text string) (address, error) {
	if text == "$cbs" {
		return address{node: nodeCBS}, nil
	}
	//lint:ignore ST1005 these are a real hub's words
	bad := fmt.Errorf("The link address '%.200s' did not match any of the expected formats.", text)
	if len(text) > maxAddress {
		return address{}, bad
	}
	path := strings.TrimPrefix(text, "/")
	if rest, ok := strings.CutPrefix(text, "amqps://"); ok {
		_, path, _ = strings.Cut(rest, "/")
	}
	var a address
	var ok bool
	if a.device, a.module, path, ok = cutIDs(path); !ok {
		return address{}, bad
	}
	nodes := map[string]node{
		"twin": nodeTwin, "messages/events": nodeEvents,
		"messages/devicebound": nodeMessages, "methods/devicebound": nodeMethods,
	}
	if a.node, ok = nodes[strings.ToLower(path)]; !ok {
		return address{}, bad
	}
	return a, nil
}

// cutIDs reads "devices/{device}[/modules/{module}]" and returns what follows.
func cutIDs(path string) (device, module, rest string, ok bool) {
	parts := strings.Split(path, "/")
	if len(parts) < 2 || !strings.EqualFold(parts[0], "devices") || parts[1] == "" {
		return "", "", "", false
	}
	device, parts = parts[1], parts[2:]
	if len(parts) >= 2 && strings.EqualFold(parts[0], "modules") && parts[1] != "" {
		module, parts = parts[1], parts[2:]
	}
	return device, module, strings.Join(parts, "/"), true
}

// parseAudience reads the name in a put-token: a path under the hub's name, as
// it is or percent-encoded as a whole, with or without a scheme.
func parseAudience(text string) (host, device, module string, err error) {
	bad := fmt.Errorf("audience %.200q is not <hub>/devices/<device>[/modules/<module>]", text)
	if len(text) > maxAddress {
		return "", "", "", bad
	}
	if _, rest, ok := strings.Cut(text, "://"); ok {
		text = rest
	}
	if !strings.Contains(text, "/") {
		if text, err = url.PathUnescape(text); err != nil {
			return "", "", "", bad
		}
	}
	host, path, _ := strings.Cut(text, "/")
	host, _, _ = strings.Cut(host, ":")
	device, module, rest, ok := cutIDs(path)
	if !ok || rest != "" {
		return "", "", "", bad
	}
	return host, device, module, nil
}
