package tenantconfig

import (
	"path"
	"regexp"
	"slices"
)

func validateState(r *report, s State) {
	r.oneOf(s.Driver, "state.driver", StateMemory, StateEmbedded, StateValkey, StatePostgres)
	shared := s.Driver == StateValkey || s.Driver == StatePostgres
	switch {
	case s.Driver == StateMemory:
		r.require(s.Path == "", "state.path", "must be empty: the memory driver keeps no file")
	case s.Driver == StateEmbedded, shared && s.Path != "":
		r.require(path.IsAbs(s.Path) && path.Clean(s.Path) == s.Path, "state.path", "must be an absolute path without dot segments: the volume's mount point")
	}
	validateServerOf(r, s.Server, "state.server", shared)
	switch s.LimitsOn {
	case "":
	case StateValkey:
		r.require(s.Driver == StatePostgres, "state.limitsOn", "goes with driver %s: %s keeps limits with the rest", StatePostgres, s.Driver)
	default:
		r.oneOf(s.LimitsOn, "state.limitsOn", StateValkey)
	}
	validateServerOf(r, s.LimitsServer, "state.limitsServer", s.LimitsOn != "")
}

func validateServerOf(r *report, s StateServer, at string, needed bool) {
	if !needed {
		r.require(s == StateServer{}, at, "must be empty: nothing is kept on a server")
		return
	}
	r.require(isFileName(s.URLFile), at+".urlFile", "must be the plain name of a file beside this document")
	r.require(s.CAFile == "" || isFileName(s.CAFile), at+".caFile", "must be the plain name of a file beside this document")
}

var bareID = regexp.MustCompile(`^[0-9a-zA-Z_-]{1,64}$`)

func validateCloudflare(r *report, c Cloudflare) {
	if c.AccountID == "" {
		r.require(c == Cloudflare{}, "cloudflare.accountID", "is needed: it is the account of what is named beside it")
		return
	}
	r.require(account.MatchString(c.AccountID), "cloudflare.accountID", "must be 32 lower-case hexadecimal digits")
	for _, address := range []struct{ value, path string }{{c.API, "cloudflare.api"}, {c.S3, "cloudflare.s3"}} {
		r.require(address.value == "" || isBaseURL(address.value), address.path, "must be an http or https address without user name, query or fragment")
	}
	r.require(isFileName(c.CredentialsFile), "cloudflare.credentialsFile", "must be the plain name of a file beside this document")
	for _, id := range []struct{ value, path string }{
		{c.TokenID, "cloudflare.tokenID"}, {c.UsageLedger, "cloudflare.usageLedger"}, {c.ConfigExport, "cloudflare.configExport"}, {c.Originals, "cloudflare.originals"},
	} {
		r.require(id.value == "" || bareID.MatchString(id.value), id.path, "must be an id: letters, digits, - and _, at most 64")
	}
	if c.Originals != "" {
		r.require(slices.Contains([]string{"default", "eu", "fedramp"}, c.OriginalsJurisdiction), "cloudflare.originalsJurisdiction", "must be one of default, eu, fedramp")
	}
}

// isFileName tells whether a secret may lie under this name beside the document.
func isFileName(name string) bool {
	return fileName.MatchString(name) && name != DocumentFile && name != StatusTokenFile
}
