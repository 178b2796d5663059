"""From a folder of scans to patches: cases, folds, fingerprint, plan, cache, transforms, sampling."""
