package hubtest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// authorizeService judges a request's Authorization. Whoever is refused is told
// only that; the reason stands in the hub's log.
func (h *Hub) authorizeService(rt route, req restRequest) *fault {
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

func (h *Hub) unauthorized(req restRequest, err error) *fault {
	h.log.Warn("REST request not authorized", "request", req.Method+" "+req.URL.Path, "reason", err)
	return refuse(codeUnauthorized, "Unauthorized")
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
	if c.policy == "" {
		return errors.New("token: it names no policy (skn); a device's own key opens nothing here")
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
	return c.reaches(h.opts.Host, req.path)
}

// reaches checks that the token's scope is the path or above it, segment by
// segment, without regard to case, as the documentation compares.
func (c claim) reaches(hub string, path []string) error {
	host, scope, err := c.scope()
	if err != nil {
		return err
	}
	if n := len(scope); n > 0 && scope[n-1] == "" {
		scope = scope[:n-1]
	}
	if !strings.EqualFold(host, hub) {
		return fmt.Errorf("token: it is for the hub %q", host)
	}
	if len(scope) > len(path) || !slices.EqualFunc(scope, path[:len(scope)], func(s, p string) bool { return strings.EqualFold(s, p) || means(s, p) }) {
		return fmt.Errorf("token: its scope %q does not reach %q", strings.Join(scope, "/"), strings.Join(path, "/"))
	}
	return nil
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

// A Role is one of Azure's built-in roles for a hub's data.
type Role string

// The roles that open something of the REST interface.
const (
	// DataContributor may do everything.
	DataContributor Role = "IoT Hub Data Contributor"
	// DataReader may read identities and twins, and query.
	DataReader Role = "IoT Hub Data Reader"
	// RegistryContributor may read and write identities.
	RegistryContributor Role = "IoT Hub Registry Contributor"
	// TwinContributor may read and write twins, and query.
	TwinContributor Role = "IoT Hub Twin Contributor"
)

// allows says what a role opens.
func (r Role) allows(a action) bool {
	switch r {
	case DataContributor:
		return true
	case DataReader:
		return strings.HasSuffix(string(a), "/read")
	case RegistryContributor:
		return strings.HasPrefix(string(a), "devices/")
	case TwinContributor:
		return strings.HasPrefix(string(a), "twins/")
	}
	return false
}

// Grant assigns roles to a principal of EntraIssuer, in place of those that it
// had; none takes them all away.
func (h *Hub) Grant(principal string, roles ...Role) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.grants[principal] = slices.Clone(roles)
}

// checkRoles is the fault of a principal without the right.
func (h *Hub) checkRoles(principal string, rt route, req restRequest) *fault {
	h.mu.Lock()
	roles := h.grants[principal]
	h.mu.Unlock()
	if slices.ContainsFunc(roles, func(r Role) bool { return r.allows(rt.action) }) {
		return nil
	}
	return refuse(codeUnauthorized, "Principal %s is not authorized for %s on %s due to no assigned permissions",
		principal, req.Method, req.URL.Path)
}
