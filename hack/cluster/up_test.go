package main

import (
	"archive/tar"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/google/go-cmp/cmp"
)

// told has a native cluster follow the lines that the roles write.
func told(t *testing.T, lines string) error {
	t.Helper()
	c := native{place{Dir: t.TempDir()}}
	if err := os.Mkdir(c.place.path("log"), 0o700); err != nil {
		t.Fatal(err)
	}
	put(t, c.place.log("host"), "first\nthe cluster ended: signal: killed\n")
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if _, err := writer.WriteString(lines); err != nil {
		t.Fatal(err)
	}
	_ = writer.Close()
	return c.follow(reader)
}

func TestUpTellsWhatFailed(t *testing.T) {
	if err := told(t, "   1.0s  one\nREADY\n"); err != nil {
		t.Error(err)
	}
	err := told(t, "   1.0s  one\nFAILED etcd ended: exit status 1\nFAILED the last lines of etcd.log:\nFAILED boom\n")
	if err == nil || !strings.Contains(err.Error(), "etcd ended: exit status 1\nthe last lines of etcd.log:\nboom\nall logs are in ") {
		t.Errorf("got %v", err)
	}
	if err := told(t, "   1.0s  one\n"); err == nil || !strings.Contains(err.Error(), "the cluster ended: signal: killed") {
		t.Errorf("after a silent death got %v, want the end of the log", err)
	}
}

func TestAComponentThatEndsIsToldWithItsLog(t *testing.T) {
	p := place{Dir: t.TempDir()}
	if err := os.Mkdir(p.path("log"), 0o700); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c, err := p.start(ctx, "broken", "/bin/sh", "-c", "env; echo line one; echo boom >&2; exit 3")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("ETCD_NAME", "from-the-developer")
	err = c.await(ctx, func(context.Context) error { return errors.New("not yet") })
	for _, part := range []string{"broken did not become ready", "exit status 3", p.log("broken"), "line one\nboom"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("got %v, want %q in it", err, part)
		}
	}
	if strings.Contains(err.Error(), "ETCD_NAME") {
		t.Error("the developer's environment reaches a component")
	}
	if _, err := p.start(ctx, "absent", p.path("absent")); err == nil {
		t.Error("a program that is not there was started")
	}
}

func TestReferencesOfAnArchive(t *testing.T) {
	dir := t.TempDir()
	archive := func(name, manifest string) string {
		path := filepath.Join(dir, name)
		file, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		out := tar.NewWriter(file)
		if err := out.WriteHeader(&tar.Header{Name: name, Size: int64(len(manifest)), Mode: 0o600}); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Write([]byte(manifest)); err != nil {
			t.Fatal(err)
		}
		if err := out.Close(); err != nil {
			t.Fatal(err)
		}
		return path
	}
	got, err := references(archive("manifest.json", `[{"RepoTags":["localhost/a:b"]},{"RepoTags":["localhost/c:d"]}]`))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"localhost/a:b", "localhost/c:d"}, got); diff != "" {
		t.Error(diff)
	}
	text := filepath.Join(dir, "text")
	put(t, text, strings.Repeat("no tar file ", 100))
	for path, want := range map[string]string{
		archive("index.json", "{}"):    "no docker-archive",
		archive("manifest.json", "{}"): "reading manifest.json",
		text:                           "no tar file",
		filepath.Join(dir, "absent"):   "no such file",
	} {
		if _, err := references(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s said %v, want %q", path, err, want)
		}
	}
}

func claim(phase corev1.PersistentVolumeClaimPhase, class string) *corev1.PersistentVolumeClaim {
	return &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: "acme", Name: "data", UID: "1234"},
		Spec:       corev1.PersistentVolumeClaimSpec{StorageClassName: &class, AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}},
		Status:     corev1.PersistentVolumeClaimStatus{Phase: phase},
	}
}

func TestVolumesAreMadeForPendingClaimsOfTheClass(t *testing.T) {
	n := node{place: place{Dir: t.TempDir()}, client: fake.NewClientset()}
	for _, other := range []*corev1.PersistentVolumeClaim{claim(corev1.ClaimBound, storageClass), claim(corev1.ClaimPending, "fast")} {
		if err := n.provide(t.Context(), other); err != nil {
			t.Fatal(err)
		}
	}
	if dirExists(n.place.path("volumes")) {
		t.Error("a volume was made for a claim that is none of ours")
	}
	for range 2 { // the second finds the volume there
		if err := n.provide(t.Context(), claim(corev1.ClaimPending, storageClass)); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(n.place.path("volumes", "1234"))
	if err != nil || info.Mode().Perm() != 0o777 {
		t.Fatalf("%v, %v", info, err)
	}
	volume, err := n.client.CoreV1().PersistentVolumes().Get(t.Context(), "pvc-1234", metav1.GetOptions{})
	if err != nil || volume.Spec.ClaimRef.UID != "1234" || volume.Spec.HostPath.Path != n.place.path("volumes", "1234") {
		t.Fatalf("%+v, %v", volume, err)
	}
}

func TestOnlyOurReleasedVolumesAreRemoved(t *testing.T) {
	n := node{place: place{Dir: t.TempDir()}, client: fake.NewClientset()}
	if err := n.provide(t.Context(), claim(corev1.ClaimPending, storageClass)); err != nil {
		t.Fatal(err)
	}
	dir := n.place.path("volumes", "1234")
	volume, err := n.client.CoreV1().PersistentVolumes().Get(t.Context(), "pvc-1234", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := volume.DeepCopy()
	elsewhere.Status.Phase = corev1.VolumeReleased
	elsewhere.Spec.HostPath.Path = filepath.Dir(n.place.Dir)
	retained := volume.DeepCopy()
	retained.Status.Phase = corev1.VolumeReleased
	retained.Spec.PersistentVolumeReclaimPolicy = corev1.PersistentVolumeReclaimRetain
	for _, kept := range []*corev1.PersistentVolume{volume, elsewhere, retained} {
		if err := n.reclaim(t.Context(), kept); err != nil || !dirExists(dir) {
			t.Fatalf("removed %+v, %v", kept.Spec, err)
		}
	}
	volume.Status.Phase = corev1.VolumeReleased
	if err := n.reclaim(t.Context(), volume); err != nil || dirExists(dir) {
		t.Errorf("kept a released volume: %v", err)
	}
	list, err := n.client.CoreV1().PersistentVolumes().List(t.Context(), metav1.ListOptions{})
	if err != nil || len(list.Items) != 0 {
		t.Errorf("left %d objects, %v", len(list.Items), err)
	}
}
