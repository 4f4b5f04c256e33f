"""What a block is written with: declaration, pins, context, egress client, errors and the test kit."""
