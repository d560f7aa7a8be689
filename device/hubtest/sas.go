package hubtest

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/devicetwin/devicetwin-go/internal/connstring"
)

// claim is a shared access signature taken apart. The texts that were signed
// stay as they were received, for the signature holds over them as they are.
type claim struct {
	resource string // sr, as received
	end      string // se, as received
	expires  time.Time
	policy   string // skn, empty for none
	mac      []byte
}

// parseToken reads a token as Microsoft's own parser does: names have no case,
// unknown fields are ignored, no field appears twice, and in the signature a raw
// '/' passes where '+' would be read as a blank and '=' as the end.
func parseToken(text string) (claim, error) {
	fields, err := tokenFields(text)
	if err != nil {
		return claim{}, err
	}
	c := claim{resource: fields["sr"], end: fields["se"]}
	if c.expires, err = parseEnd(c.end); err != nil {
		return claim{}, err
	}
	if c.policy, err = url.PathUnescape(fields["skn"]); err != nil {
		return claim{}, errors.New("token: skn is not percent-encoded")
	}
	if strings.ContainsAny(fields["sig"], "+=") {
		return claim{}, errors.New("token: sig is not percent-encoded")
	}
	sig, err := url.PathUnescape(fields["sig"])
	if err != nil {
		return claim{}, errors.New("token: sig is not percent-encoded")
	}
	if c.mac, err = base64.StdEncoding.Strict().DecodeString(sig); err != nil {
		return claim{}, errors.New("token: sig is not base64")
	}
	return c, nil
}

func tokenFields(text string) (map[string]string, error) {
	if len(text) > maxToken {
		return nil, fmt.Errorf("token: %d bytes long", len(text))
	}
	rest, ok := strings.CutPrefix(text, "SharedAccessSignature ")
	if !ok {
		return nil, errors.New("token: no SharedAccessSignature")
	}
	fields := map[string]string{}
	for part := range strings.SplitSeq(rest, "&") {
		if part == "" {
			continue
		}
		name, value, ok := strings.Cut(part, "=")
		if !ok {
			return nil, errors.New("token: a field without a value")
		}
		name = strings.ToLower(name)
		if _, twice := fields[name]; twice {
			return nil, fmt.Errorf("token: a field %.20q stands twice", name)
		}
		fields[name] = value
	}
	for _, name := range []string{"sr", "sig", "se"} {
		if fields[name] == "" {
			return nil, fmt.Errorf("token: no %s", name)
		}
	}
	return fields, nil
}

// parseEnd reads whole seconds since 1970.
func parseEnd(text string) (time.Time, error) {
	n, err := strconv.ParseUint(text, 10, 40)
	if err != nil || strings.HasPrefix(text, "+") {
		return time.Time{}, errors.New("token: se is not a whole number of seconds")
	}
	return time.Unix(int64(n), 0), nil
}

// signedBy reports whether one of the keys made the signature.
func (c claim) signedBy(keys keyPair) bool {
	good := false
	for _, key := range keys.secret {
		m := hmac.New(sha256.New, key)
		m.Write([]byte(c.resource + "\n" + c.end))
		if len(key) > 0 && hmac.Equal(m.Sum(nil), c.mac) {
			good = true
		}
	}
	return good
}

// scope takes the resource apart: the host, then the segments below it. One that
// is encoded more than once is decoded until it has segments.
func (c claim) scope() (host string, path []string, err error) {
	plain := c.resource
	for range maxEncodings {
		if strings.Contains(plain, "/") {
			break
		}
		if plain, err = url.PathUnescape(plain); err != nil {
			return "", nil, errors.New("token: sr is not percent-encoded")
		}
	}
	if plain == c.resource { // raw slashes: its segments may be encoded
		if plain, err = url.PathUnescape(plain); err != nil {
			return "", nil, errors.New("token: sr is not percent-encoded")
		}
	}
	segments := strings.Split(plain, "/")
	return segments[0], segments[1:], nil
}

// authorize judges a token at a moment, and says until when it is good. The
// error says why not, for the hub's log: a device is only told that. h.mu is
// held.
func (h *Hub) authorize(who *identity, token string, now time.Time) (time.Time, error) {
	c, err := parseToken(token)
	if err != nil {
		return time.Time{}, err
	}
	if late := now.Sub(c.expires); late > clockSkew {
		return time.Time{}, fmt.Errorf("token: it ended %v ago", late)
	}
	keys := who.keys
	switch {
	case c.policy != "":
		if keys, err = h.policyKeys(c.policy); err != nil {
			return time.Time{}, err
		}
	case who.module == "" && h.opts.quirks.DisableDeviceSAS, who.module != "" && h.opts.quirks.DisableModuleSAS:
		return time.Time{}, errors.New("token: this hub lets nobody in by a key of its own")
	}
	if !c.signedBy(keys) {
		return time.Time{}, errors.New("token: no key of the identity or policy made this signature")
	}
	if err := c.covers(h.opts.Host, who); err != nil {
		return time.Time{}, err
	}
	return c.expires, nil
}

// policyKeys returns the keys of a policy that lets devices in. h.mu is held.
func (h *Hub) policyKeys(name string) (keyPair, error) {
	p, ok := h.policies[name]
	if !ok {
		return keyPair{}, fmt.Errorf("token: there is no policy %q", name)
	}
	if !slices.Contains(p.Permissions, deviceConnect) {
		return keyPair{}, fmt.Errorf("token: policy %q lacks DeviceConnect", name)
	}
	return completeKeys(p.PrimaryKey, p.SecondaryKey)
}

// covers checks that the token's scope is the identity or above it, segment by
// segment, for a key of its own as for a policy's.
func (c claim) covers(hub string, who *identity) error {
	host, path, err := c.scope()
	if err != nil {
		return err
	}
	if !strings.EqualFold(host, hub) {
		return fmt.Errorf("token: it is for the hub %q", host)
	}
	want := who.path()
	if len(path) > len(want) || !slices.EqualFunc(path, want[:len(path)], sameSegment) {
		return fmt.Errorf("token: its scope %q does not reach this identity", strings.Join(path, "/"))
	}
	return nil
}

// names reports whether the scope is the identity, in as many words.
func (c claim) names(who *identity) bool {
	_, path, err := c.scope()
	return err == nil && slices.EqualFunc(path, who.path(), strings.EqualFold)
}

// path is where the identity is below the hub's name.
func (id *identity) path() []string {
	if id.module == "" {
		return []string{"devices", id.device}
	}
	return []string{"devices", id.device, "modules", id.module}
}

// sameSegment compares without regard to case, as the documentation writes
// scopes in lower case. Microsoft's .NET SDK encodes ids before it encodes the
// whole, so a segment may be encoded still.
func sameSegment(got, want string) bool {
	if strings.EqualFold(got, want) {
		return true
	}
	plain, err := url.PathUnescape(got)
	return err == nil && strings.EqualFold(plain, want)
}

// keyPair is two symmetric keys, either of which signs.
type keyPair struct {
	text   [2]string
	secret [2][]byte
}

// keySize is the size of a key that a hub makes up.
const keySize = 32

func newKeys() keyPair {
	var k keyPair
	for i := range k.secret {
		k.secret[i] = make([]byte, keySize)
		_, _ = rand.Read(k.secret[i]) // never fails, by its documentation
		k.text[i] = base64.StdEncoding.EncodeToString(k.secret[i])
	}
	return k
}

// completeKeys reads two keys; an empty one is made up.
func completeKeys(primary, secondary string) (keyPair, error) {
	k := newKeys()
	for i, text := range []string{primary, secondary} {
		if text == "" {
			continue
		}
		secret, err := base64.StdEncoding.DecodeString(text)
		if err != nil || len(secret) == 0 {
			return keyPair{}, fmt.Errorf("hubtest: key %d is not base64", i+1)
		}
		k.text[i], k.secret[i] = text, secret
	}
	return k, nil
}

// The permissions of a hub's policies; there are no others.
const (
	registryRead   = "RegistryRead"
	registryWrite  = "RegistryWrite"
	serviceConnect = "ServiceConnect"
	deviceConnect  = "DeviceConnect"
)

// A Policy is a shared access policy of the hub: its keys speak for every
// device. A token signed by one names it (skn), and logs a device in when the
// policy has DeviceConnect; what it opens of the REST interface, each of its
// permissions says.
type Policy struct {
	Name                     string
	PrimaryKey, SecondaryKey string // base64: secrets; empty ones are made up
	// Permissions are of RegistryRead, RegistryWrite, ServiceConnect and
	// DeviceConnect.
	Permissions []string
	// ConnectionString is what a back end takes: this hub, the policy and its
	// primary key in one line, a secret. The hub fills it in; what AddPolicy is
	// given is ignored.
	ConnectionString string
}

func defaultPolicies() []Policy {
	return []Policy{
		{Name: "iothubowner", Permissions: []string{registryRead, registryWrite, serviceConnect, deviceConnect}},
		{Name: "service", Permissions: []string{serviceConnect}},
		{Name: "device", Permissions: []string{deviceConnect}},
		{Name: "registryRead", Permissions: []string{registryRead}},
		{Name: "registryReadWrite", Permissions: []string{registryRead, registryWrite}},
	}
}

// AddPolicy adds a policy, or replaces the one of that name, and returns it
// with its keys and its connection string. A permission that no hub knows is an
// error: else it would open nothing, and say nothing. [Hub.Policy] names those
// that a new hub has.
func (h *Hub) AddPolicy(p Policy) (Policy, error) {
	p, err := h.complete(p)
	if err != nil {
		return Policy{}, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.policies[p.Name] = p
	return p, nil
}

// complete checks a policy, and fills in what the hub makes up.
func (h *Hub) complete(p Policy) (Policy, error) {
	if p.Name == "" {
		return Policy{}, fmt.Errorf("hubtest: the policy has no name")
	}
	for _, permission := range p.Permissions {
		switch permission {
		case registryRead, registryWrite, serviceConnect, deviceConnect:
		default:
			return Policy{}, fmt.Errorf("hubtest: there is no permission %.60q; the permissions are %s, %s, %s and %s",
				permission, registryRead, registryWrite, serviceConnect, deviceConnect)
		}
	}
	keys, err := completeKeys(p.PrimaryKey, p.SecondaryKey)
	if err != nil {
		return Policy{}, err
	}
	p.PrimaryKey, p.SecondaryKey = keys.text[0], keys.text[1]
	p.ConnectionString, err = connstring.Format(
		connstring.Field{Name: connstring.HostName, Value: h.opts.Host},
		connstring.Field{Name: connstring.SharedAccessKeyName, Value: p.Name},
		connstring.Field{Name: connstring.SharedAccessKey, Value: p.PrimaryKey},
	)
	if err != nil {
		return Policy{}, fmt.Errorf("hubtest: the policy's name and key make no connection string: %w", err)
	}
	p.Permissions = slices.Clone(p.Permissions)
	return p, nil
}

// Policy returns the policy of that name, and whether there is one. A new hub
// has those of a real one: iothubowner, which may do everything, service
// (ServiceConnect), device (DeviceConnect), registryRead (RegistryRead) and
// registryReadWrite (RegistryRead, RegistryWrite).
func (h *Hub) Policy(name string) (Policy, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p, ok := h.policies[name]
	p.Permissions = slices.Clone(p.Permissions)
	return p, ok
}
