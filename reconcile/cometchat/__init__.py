"""The CometChat app: what goes over the wire, the one door to the network, and the users behind it."""
