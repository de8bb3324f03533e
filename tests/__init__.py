"""Tests of gome; folders mirror the packages."""
