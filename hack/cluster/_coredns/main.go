// Command coredns is CoreDNS with the few plugins that the local cluster needs: a third of the packages to compile.
//
// Its folder starts with an underscore so that ./... and go mod tidy pass it by and CoreDNS stays out of the product's
// go.mod; hack/toolbox builds it by its path with hack/tools/coredns.mod.
package main

import (
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/hosts"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/ready"
	_ "github.com/coredns/coredns/plugin/template"
)

// The order is the order in which plugins see a query.
func init() {
	dnsserver.Directives = []string{"ready", "errors", "cache", "hosts", "kubernetes", "template"}
}

func main() { coremain.Run() }
