package hubtest

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/fault"
)

// authorizeService judges a request's Authorization. Whoever is refused is told
// only that; the reason stands in the hub's log.
func (h *Hub) authorizeService(rt route, req restRequest) *fault.Fault {
	header := req.Header.Get("Authorization")
	var err error
	switch {
	case header == "":
		err = errors.New("no Authorization")
	case strings.HasPrefix(header, "SharedAccessSignature "):
		err = h.checkServiceToken(header, rt, req)
	case strings.HasPrefix(header, "Bearer "):
		principal, err := h.idp.verify(strings.TrimPrefix(header, "Bearer "), req.now)
		if err == nil {
			return h.checkRoles(principal, rt, req)
		}
		return h.unauthorized(req, err)
	default:
		err = errors.New("token: it is neither a SharedAccessSignature nor a Bearer token")
	}
	if err != nil {
		return h.unauthorized(req, err)
	}
	return nil
}

func (h *Hub) unauthorized(req restRequest, err error) *fault.Fault {
	h.log.Warn("REST request not authorized", "request", req.Method+" "+req.URL.Path, "reason", err)
	return fault.New(fault.Unauthorized, "Unauthorized")
}

// checkServiceToken judges a token that a policy's key has signed.
func (h *Hub) checkServiceToken(token string, rt route, req restRequest) error {
	c, err := parseToken(token)
	if err != nil {
		return err
	}
	if !req.now.Before(c.expires) {
		return fmt.Errorf("token: it ended %v ago", req.now.Sub(c.expires))
	}
	host, _, err := c.scope()
	if err != nil {
		return err
	}
	if !strings.EqualFold(host, h.opts.Host) { // a service's path is not looked at
		return fmt.Errorf("token: it is for the hub %q", host)
	}
	if c.policy == "" {
		return h.checkDeviceToken(c, rt, req)
	}
	h.mu.Lock()
	p, ok := h.policies[c.policy]
	h.mu.Unlock()
	if !ok {
		return fmt.Errorf("token: there is no policy %q", c.policy)
	}
	keys, err := completeKeys(p.PrimaryKey, p.SecondaryKey)
	if err != nil {
		return err
	}
	if !c.signedBy(keys) {
		return errors.New("token: no key of the policy made this signature")
	}
	if !slices.Contains(p.Permissions, rt.needs) {
		return fmt.Errorf("token: policy %q lacks %s", c.policy, rt.needs)
	}
	return nil
}

// checkDeviceToken judges a token that a device has signed itself: it opens the
// device's own module identities.
func (h *Hub) checkDeviceToken(c claim, rt route, req restRequest) error {
	if !strings.HasPrefix(rt.path, "devices/{d}/modules") {
		return errors.New("token: it names no policy (skn); a device's own key opens its modules and no more")
	}
	device, _, _ := strings.Cut(req.id, "/")
	h.mu.Lock()
	defer h.mu.Unlock()
	who, err := h.enabled(device)
	if err != nil {
		return fmt.Errorf("token: %w", err)
	}
	if h.opts.quirks.DisableDeviceSAS || who.proof.kind != authSAS || !c.signedBy(who.keys) {
		return errors.New("token: no key of the device made this signature")
	}
	return c.covers(h.opts.Host, who)
}

// action is a right of Azure's role-based access control, as the end of
// Microsoft.Devices/IotHubs/….
type action string

const (
	devicesRead   action = "devices/read"
	devicesWrite  action = "devices/write"
	devicesDelete action = "devices/delete"
	twinsRead     action = "twins/read"
	twinsWrite    action = "twins/write"
	methodsInvoke action = "directMethods/invoke/action"
)

// Azure's built-in roles that open something of the REST interface.
const (
	dataContributor     = "IoT Hub Data Contributor"
	dataReader          = "IoT Hub Data Reader"
	registryContributor = "IoT Hub Registry Contributor"
	twinContributor     = "IoT Hub Twin Contributor"
)

func knownRoles() []string {
	return []string{dataContributor, dataReader, registryContributor, twinContributor}
}

// allows says what a role opens.
func allows(role string, a action) bool {
	switch role {
	case dataContributor:
		return true
	case dataReader:
		return strings.HasSuffix(string(a), "/read")
	case registryContributor:
		return strings.HasPrefix(string(a), "devices/")
	case twinContributor:
		return strings.HasPrefix(string(a), "twins/")
	}
	return false
}

// Grant assigns roles to a principal of EntraToken, in place of those that it had.
// No roles take all of them away. The roles have Azure's names:
//
//   - "IoT Hub Data Contributor" may do everything,
//   - "IoT Hub Data Reader" may read identities and twins, and query,
//   - "IoT Hub Registry Contributor" may read and write identities,
//   - "IoT Hub Twin Contributor" may read and write twins, and query.
//
// Another role opens nothing: a hub of New fails its test at once, and Close returns
// the error.
func (h *Hub) Grant(principal string, roles ...string) {
	for _, r := range roles {
		if !slices.Contains(knownRoles(), r) {
			h.misused(fmt.Errorf("hubtest: Grant: unknown role %.60q; known are %q", r, knownRoles()))
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.grants[principal] = slices.Clone(roles)
}

// checkRoles is the fault of a principal without the right.
func (h *Hub) checkRoles(principal string, rt route, req restRequest) *fault.Fault {
	h.mu.Lock()
	roles := h.grants[principal]
	h.mu.Unlock()
	if slices.ContainsFunc(roles, func(r string) bool { return allows(r, rt.action) }) {
		return nil
	}
	return fault.New(fault.Unauthorized, "Principal %s is not authorized for %s on %s due to no assigned permissions",
		principal, req.Method, req.URL.Path)
}
