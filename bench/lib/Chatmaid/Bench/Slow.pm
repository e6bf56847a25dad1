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

sub serve ($self, $port) {
    my $half = $self->delay / 2000;

    Mojo::IOLoop->server({address => '127.0.0.1', port => $port} => sub ($loop, $near, @) {
        my $held = '';
        my $far;
        $near->timeout(0)->on(read => sub ($near, $bytes) {
            $loop->timer($half => sub { $far ? $far->write($bytes) : ($held .= $bytes) });
        });
        my $id = $loop->client({address => '127.0.0.1', port => $self->to} => sub ($loop, $error, $stream) {
            return $near->close if $error;
            $far = $stream;
            $far->timeout(0)->on(read => sub ($far, $bytes) { $loop->timer($half => sub { $near->write($bytes) }) });
            $far->on(close => sub { $near->close });
            $far->write($held) if length $held;
        });
        $near->on(close => sub { $loop->remove($id) });
    });
}

1;
