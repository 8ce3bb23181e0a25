package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
)

const (
	storageClass = "standard"
	provisioner  = "hostpath.crispy-enigma.dev"
)

// createObjects makes what a cluster has before its first user comes.
func (n *node) createObjects(ctx context.Context) error {
	_, errRights := n.client.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "local:apiserver-kubelet"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "system:kubelet-api-admin"},
		Subjects:   []rbacv1.Subject{{Kind: "User", APIGroup: rbacv1.GroupName, Name: kubeletClient}},
	}, metav1.CreateOptions{})
	_, errClass := n.client.StorageV1().StorageClasses().Create(ctx, &storagev1.StorageClass{
		ObjectMeta:  metav1.ObjectMeta{Name: storageClass, Annotations: map[string]string{"storageclass.kubernetes.io/is-default-class": "true"}},
		Provisioner: provisioner,
	}, metav1.CreateOptions{})
	if err := errors.Join(existing(errRights), existing(errClass), n.createDNS(ctx)); err != nil {
		return fmt.Errorf("creating the cluster's own objects: %w", err)
	}
	return nil
}

// serveVolumes gives each claim of the storage class a folder of the node, and removes it with the claim.
func (n *node) serveVolumes(ctx context.Context) error {
	// The informers repeat all they hold every ten seconds: what failed is tried again.
	factory := informers.NewSharedInformerFactory(n.client, 10*time.Second)
	claims, volumes := factory.Core().V1().PersistentVolumeClaims(), factory.Core().V1().PersistentVolumes()
	changed := make(chan struct{}, 1)
	touch := func() {
		select {
		case changed <- struct{}{}:
		default: // one pending wake-up covers any number of changes
		}
	}
	handler := cache.ResourceEventHandlerFuncs{AddFunc: func(any) { touch() }, UpdateFunc: func(any, any) { touch() }}
	for _, informer := range []cache.SharedIndexInformer{claims.Informer(), volumes.Informer()} {
		if _, err := informer.AddEventHandler(handler); err != nil {
			return fmt.Errorf("watching volumes: %w", err)
		}
	}
	factory.Start(ctx.Done())
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
		wanting, err := claims.Lister().List(labels.Everything())
		if err != nil {
			return err
		}
		for _, claim := range wanting {
			if err := n.provide(ctx, claim); err != nil {
				report(err)
			}
		}
		having, err := volumes.Lister().List(labels.Everything())
		if err != nil {
			return err
		}
		for _, volume := range having {
			if err := n.reclaim(ctx, volume); err != nil {
				report(err)
			}
		}
	}
}

func (n *node) provide(ctx context.Context, claim *corev1.PersistentVolumeClaim) error {
	if !wantsVolume(claim) {
		return nil
	}
	dir := n.place.path("volumes", string(claim.UID))
	if err := makeVolume(dir); err != nil {
		return fmt.Errorf("making the volume of %s/%s: %w", claim.Namespace, claim.Name, err)
	}
	_, err := n.client.CoreV1().PersistentVolumes().Create(ctx, newVolume(claim, dir), metav1.CreateOptions{})
	if err := existing(err); err != nil {
		return fmt.Errorf("making the volume of %s/%s: %w", claim.Namespace, claim.Name, err)
	}
	return nil
}

func wantsVolume(claim *corev1.PersistentVolumeClaim) bool {
	class := claim.Spec.StorageClassName
	return claim.Status.Phase == corev1.ClaimPending && claim.Spec.VolumeName == "" && claim.DeletionTimestamp == nil && class != nil && *class == storageClass
}

// makeVolume opens the folder to every user: kubelet applies no fsGroup to a hostPath, and pods aren't root. The
// cluster's own folder above it is root's alone.
func makeVolume(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return os.Chmod(dir, 0o777) // past the umask
}

func newVolume(claim *corev1.PersistentVolumeClaim, dir string) *corev1.PersistentVolume {
	mode := corev1.PersistentVolumeFilesystem
	directory := corev1.HostPathDirectory
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: "pvc-" + string(claim.UID), Annotations: map[string]string{"pv.kubernetes.io/provisioned-by": provisioner}},
		Spec: corev1.PersistentVolumeSpec{
			Capacity:                      corev1.ResourceList{corev1.ResourceStorage: claim.Spec.Resources.Requests[corev1.ResourceStorage]},
			AccessModes:                   claim.Spec.AccessModes,
			VolumeMode:                    &mode,
			StorageClassName:              storageClass,
			PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimDelete,
			ClaimRef:                      &corev1.ObjectReference{APIVersion: "v1", Kind: "PersistentVolumeClaim", Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID},
			PersistentVolumeSource:        corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: dir, Type: &directory}},
		},
	}
}

// reclaim removes the folder first: a volume whose object is gone would never be looked at again.
func (n *node) reclaim(ctx context.Context, volume *corev1.PersistentVolume) error {
	path := volume.Spec.HostPath
	ours := volume.Annotations["pv.kubernetes.io/provisioned-by"] == provisioner && path != nil && filepath.Dir(path.Path) == n.place.path("volumes")
	if !ours || volume.Status.Phase != corev1.VolumeReleased || volume.Spec.PersistentVolumeReclaimPolicy != corev1.PersistentVolumeReclaimDelete || volume.DeletionTimestamp != nil {
		return nil
	}
	if err := os.RemoveAll(path.Path); err != nil {
		return fmt.Errorf("removing volume %s: %w", volume.Name, err)
	}
	if err := n.client.CoreV1().PersistentVolumes().Delete(ctx, volume.Name, metav1.DeleteOptions{}); err != nil {
		return fmt.Errorf("removing volume %s: %w", volume.Name, err)
	}
	return nil
}
