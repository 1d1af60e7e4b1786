"""A real Kubernetes cluster for the tests and the demo, on any Linux machine, with or without Docker.

Two sizes live side by side below `.cluster/` of the checkout:

* `control-plane`: etcd and kube-apiserver on loopback ports. No root, ready in seconds, no nodes.
* `full`: a node with everything, kind's where Docker and kind are usable, else our own.

Where to look: `__main__` is the command line, `layout` says where things are, `binaries` builds, `plan`
describes processes and `supervisor` runs them, `controlplane` and `node` say which processes a size has,
`network` makes the node's own little world, `images` builds and loads images, `addons` applies manifests.
"""
