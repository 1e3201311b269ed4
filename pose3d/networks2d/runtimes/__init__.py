"""What runs networks that pose3d did not build: LiteRT, ONNX Runtime, ultralytics."""
