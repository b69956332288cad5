pytest_plugins = ["posegen.testing"]  # the fixture posegen_plugin
