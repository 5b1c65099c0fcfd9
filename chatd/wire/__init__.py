"""What goes over the socket: frames and their one encoder and decoder."""
