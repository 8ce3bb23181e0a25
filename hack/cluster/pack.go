package main

import (
	"errors"
	"flag"
	"fmt"

	"github.com/crispy-enigma/crispy-enigma/hack/cluster/image"
)

// packImage is the command `image`.
func packImage(args []string) error {
	flags := flag.NewFlagSet("image", flag.ContinueOnError)
	var spec image.Spec
	flags.StringVar(&spec.Ref, "ref", "", "repository:tag of the image, such as localhost/runtime:dev")
	flags.StringVar(&spec.Binary, "binary", "", "static executable to pack")
	flags.StringVar(&spec.Name, "name", "", "name of the executable in the image (default: its file's)")
	out := flags.String("out", "", "docker-archive file to write")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if spec.Ref == "" || spec.Binary == "" || *out == "" {
		return errors.New("image wants --ref, --binary and --out; arguments after them are the entrypoint's")
	}
	spec.Args = flags.Args()
	bundle, err := image.SystemCABundle()
	if err != nil {
		return err
	}
	spec.CABundle = bundle
	result, err := image.Build(spec, *out)
	if err != nil {
		return err
	}
	const mib = 1 << 20
	fmt.Printf("%s %s %.1f MiB, compressed %.1f MiB\n", result.Ref, result.Digest, float64(result.Size)/mib, float64(result.Compressed)/mib)
	return nil
}
