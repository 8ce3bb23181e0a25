// Package build compiles the tools that the project's checks and its local cluster run, from published Go modules.
//
// It promises: the version of a tool is the one its file in hack/tools requires; a binary that is already there is
// found in milliseconds; a build never stays silent for over ten seconds; two builds of one tool at the same time
// become one. It refuses to download binaries: everything is compiled here, with one set of flags, so that all tools
// share one Go build cache.
package build
