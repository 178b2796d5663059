"""One network a file: `class Options(Record)` and `build(options, **shape) -> nn.Module`."""
