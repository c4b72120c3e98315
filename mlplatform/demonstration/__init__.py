"""A living demonstration: past months replayed at high speed through the real services (`mlplatform demo`).

Everything else is the platform as anybody has it; nothing of it knows this room.
"""
