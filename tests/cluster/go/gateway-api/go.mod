module modelrollout.dev/tests/cluster/gateway-api

go 1.26.0

// Nothing is built from it: the CustomResourceDefinitions are in the module's folder config/crd.
require sigs.k8s.io/gateway-api v1.6.3
