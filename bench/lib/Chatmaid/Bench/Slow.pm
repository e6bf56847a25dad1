package Chatmaid::Bench::Slow;

# A Redis that is further away: a proxy before it that holds each byte back for
# half of the time in each direction.

use Mojo::Base 'Chatmaid::Test::Process', -signatures;
use Chatmaid::Test::World qw(test_port wait_for);
use IO::Socket::IP;
use Mojo::IOLoop;

has [qw(to delay)];                  # a port; milliseconds, there and back
has port => sub ($self) { test_port($self->name) };

sub start ($self) {
    my $port = $self->port;
    my ($pid, $lifeline) = Chatmaid::Test::Process::forked(sub {
        Mojo::IOLoop->reset;
        $self->serve($port);
        Mojo::IOLoop->start;
    });
    $self->runs($pid, $lifeline);
    wait_for(sub { IO::Socket::IP->new(PeerHost => '127.0.0.1', PeerPort => $port) }, 'the slow Redis');
    return $self;
}

# Timers of one time may end in any order: each takes what has waited longest.

sub serve ($self, $port) {
    my $half = $self->delay / 2000;

    Mojo::IOLoop->server({address => '127.0.0.1', port => $port} => sub ($loop, $near, @) {
        my (@there, @back, $far);

        my $id = $loop->client({address => '127.0.0.1', port => $self->to} => sub ($loop, $error, $stream) {
            return $near->close if $error;
            $far = $stream;
            $far->timeout(0)->on(read => sub ($far, $bytes) {
                push @back, $bytes;
                $loop->timer($half => sub { $near->write(shift @back) });
            });
            $far->on(close => sub { $near->close });
            $near->start;
        });

        $near->stop;                 # until there is somebody to write to
        $near->timeout(0)->on(read => sub ($near, $bytes) {
            push @there, $bytes;
            $loop->timer($half => sub { $far->write(shift @there) });
        });
        $near->on(close => sub { $loop->remove($id) });
    });
}

1;
