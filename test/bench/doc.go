// Command bench measures the product against the least that a gateway can be: the
// floor, a bare reverse proxy, in the same run on the same machine, so that the
// figures are ratios. It writes docs/benchmarks.json and docs/benchmarks.md.
//
// Everything of the runtime is on: authentication, rate limit, budget, session
// store and metrics. Drivers of shared state are measured against a plain SET through
// the same client, on servers that the command starts; a scan of vectors against reading
// as many bytes once. Nothing here is a test: a figure that misses its goal is written
// down as measured.
package main
