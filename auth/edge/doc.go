// Package edge finds the identity of a module that runs in Azure IoT Edge: who
// it is, what signs for it, and which certificates its gateway is known by. It
// is linked only by programs that import it, and brings net/http with it.
//
//	module, err := edge.FromEnvironment(os.Getenv, nil)
//	…
//	dev := device.New(module.Identity, module.Credential, mqtt.Dialer{Stream: module.TLS(nil)}, nil)
//
// # Where the facts come from
//
// IoT Edge starts a module with these variables in its environment:
//
//	IOTEDGE_WORKLOADURI         where the workload API is: unix:///path, or http://host:port
//	IOTEDGE_IOTHUBHOSTNAME      the hub
//	IOTEDGE_GATEWAYHOSTNAME     the gateway that the module connects to: the edge hub
//	IOTEDGE_DEVICEID            the device
//	IOTEDGE_MODULEID            the module
//	IOTEDGE_MODULEGENERATIONID  which of the modules that ever had this id
//	IOTEDGE_AUTHSCHEME          sasToken, the only one that there is; may be unset
//	IOTEDGE_APIVERSION          of the workload API; unset means [DefaultAPIVersion]
//
// The key of a module stays with the daemon of IoT Edge. Through the workload
// API the daemon signs what the module gives it, and hands out the trust
// bundle: the roots by which the gateway's certificate is verified.
//
// # At a desk
//
// Where IOTEDGE_WORKLOADURI is unset, the two variables are taken that
// Microsoft's development tools set:
//
//	EdgeHubConnectionString      the module's connection string, with its GatewayHostName
//	EdgeModuleCACertificateFile  the gateway's roots, in a PEM file
//
// Inside IoT Edge the second pair is not looked at: a forgotten one changes
// nothing. A module that is to go past the gateway, to the hub itself, has its
// identity from auth.ParseConnectionString instead.
//
// # When the daemon is asked
//
// FromEnvironment looks at variables only. The daemon, or the PEM file, is
// asked for each connection: for a signature, then for the trust bundle. So a
// module may start before the daemon does, the daemon may restart under a
// running module, and new roots are used at the next connection; what fails
// meanwhile is retried by package device as any failure to connect. Nothing is
// remembered in between.
//
// Without a trust bundle there is no connection: neither the system's roots nor
// an unverified stream ever stands in for it.
//
// # Errors
//
// What is wrong with the environment matches auth.ErrInvalid and names the
// variable. What the daemon refuses is a *[StatusError]. A trust bundle, or PEM
// file, that holds nothing to verify by matches transport.ErrUntrusted. All
// these but the first may be gone at the next try, and none holds a signature
// or a connection string.
package edge
