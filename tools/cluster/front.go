// What a newer API server does about tunnels, in front of an older one that knows less.
//
//	front LISTEN CERTIFICATE KEY BACKEND AUTHORITY
//
// A request to port-forward by WebSocket is answered as API servers since 1.30 do, with their own handlers: SPDY in the
// messages of a WebSocket, translated to an upgrade to SPDY. Anything else is passed on, by theirs as well. So the person
// who asks must be known by a token, which is passed on; a client certificate is not.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"log"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	upgrading "k8s.io/apimachinery/pkg/util/proxy"
	"k8s.io/apimachinery/pkg/version"
	translating "k8s.io/apiserver/pkg/util/proxy"
	"k8s.io/streaming/pkg/httpstream/wsstream"
)

type responder struct{}

func (responder) Error(w http.ResponseWriter, _ *http.Request, err error) {
	http.Error(w, err.Error(), http.StatusBadGateway)
}

func main() {
	if len(os.Args) != 6 {
		log.Fatal("usage: front LISTEN CERTIFICATE KEY BACKEND AUTHORITY")
	}
	location, err := url.Parse(os.Args[4])
	if err != nil {
		log.Fatal(err)
	}
	location.Path = "/" // without, their handler redirects
	authority, err := os.ReadFile(os.Args[5])
	if err != nil {
		log.Fatal(err)
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(authority)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}}

	passing := upgrading.NewUpgradeAwareHandler(location, transport, false, false, responder{})
	passing.UseRequestLocation = true
	passing.FlushInterval = 100 * time.Millisecond
	forwards := translating.NewTranslatingHandler(
		passing, translating.NewTunnelingHandler(passing), wsstream.IsWebSocketRequestWithTunnelingProtocol)

	server := &http.Server{
		Addr: os.Args[1],
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case strings.HasSuffix(r.URL.Path, "/portforward"):
				forwards.ServeHTTP(w, r)
			case strings.TrimSuffix(r.URL.Path, "/") == "/version":
				w.Header().Set("Content-Type", "application/json")
				_ = json.NewEncoder(w).Encode(version.Info{Major: "1", Minor: "36", GitVersion: "v1.36.0"})
			default:
				passing.ServeHTTP(w, r)
			}
		}),
	}
	log.Fatal(server.ListenAndServeTLS(os.Args[2], os.Args[3]))
}
