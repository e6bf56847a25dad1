package Chatmaid::Sandbox::Receiver;

# Who gets the webhooks that an edge has verified.  It answers 200 to everything
# unless a fault says otherwise, and has the sandbox's journal, faults, holds and
# control port.

use Mojo::Base 'Chatmaid::Sandbox', -signatures;

sub add_routes ($self, $routes) {
    $routes->any('/*any' => {any => ''} => sub ($c) { $self->answer($c, 200, {received => 1}) });
}

1;
