"""
Promises of the sandbox, each made over a real socket.
"""
