"""The codecs of drivers that can be called on their own: a module per robot with `CODEC = CodecEntry(...)`."""
