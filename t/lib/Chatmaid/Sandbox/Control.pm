package Chatmaid::Sandbox::Control;

# How a test looks into the sandbox and pulls its strings: on a port of its own,
# so that nothing here can be mistaken for the API, and without HTTP, for a test
# asks as often as it sends.  A line is a question, ["name", {what is wanted}];
# the answer is a line too, [error or null, data].

use Mojo::Base -base, -signatures;
use Mojo::IOLoop;
use Mojo::JSON qw(decode_json encode_json);

has 'sandbox';

my %ANSWER = (
    state        => \&state,
    requests     => \&requests,
    messages     => \&messages,
    move         => sub ($api, $want) { $api->data->step(@$want{qw(id status errorCode)}) },
    faults       => sub ($api, $want) { $api->faults },
    fault        => sub ($api, $want) { [map { $api->add_fault($_) } @{$want->{faults}}] },
    clear_faults => sub ($api, $want) { @{$api->faults} = (); 1 },
    held         => \&held,
    release      => sub ($api, $want) { $api->release($want->{count}) },
    deliveries   => \&deliveries,
    event        => \&send_event,
    connections  => \&connections,
    close_idle   => sub ($api, $want) { $api->close_idle },
    config       => sub ($api, $want) { $api->configure($want); 1 },
    reset        => sub ($api, $want) { $api->reset; 1 },
);

# Accepts from then on; the port.

sub listen ($self, $port) {
    my $id = Mojo::IOLoop->server({address => '127.0.0.1', port => $port}, sub ($loop, $stream, $id) {
        my $in = '';
        $stream->timeout(0);
        $stream->on(read => sub ($stream, $bytes) {
            $in .= $bytes;
            return if index($bytes, "\n") < 0;
            $stream->write($self->answer($1)) while $in =~ s/\A(.*)\n//;
        });
    });
    return Mojo::IOLoop->acceptor($id)->port;
}

# Bytes travel as characters 0 to 255, so that any body survives JSON.

sub answer ($self, $line) {
    my ($name, $want) = @{decode_json($line)};
    my $data = eval { ($ANSWER{$name} // die "no such question\n")->($self->sandbox, $want // {}) };
    return encode_json([$@ || undef, $data]) . "\n";
}

# method, path (a trailing * matches any rest), account, environment, request_id,
# body, from (a number in the journal) and text (a string in the body) narrow the
# list; with last it has the last one alone; count gives its length, cheap enough
# to be asked again and again.

sub requests ($api, $want) {
    my @found = @{$api->journal};

    @found = splice @found, ($want->{from} || 1) - 1 if $want->{from};
    for my $field (grep { defined $want->{$_} } qw(method account environment request_id body)) {
        @found = grep { ($_->{$field} // '') eq $want->{$field} } @found;
    }
    if (defined(my $path = $want->{path})) {
        my $prefix = $path =~ s/\*$//;
        @found = grep {
            my $is = Chatmaid::Sandbox::path_of($_);
            $prefix ? index($is, $path) == 0 : $is eq $path;
        } @found;
    }
    @found = grep { index($_->{body}, qq("$want->{text}")) >= 0 } @found if defined $want->{text};
    @found = @found ? $found[-1] : () if $want->{last};

    return $want->{count} ? scalar @found : \@found;
}

# Each message, or each with that content, with what is not part of its public
# face: the key it came with, whose it is, and how many requests were answered
# with it.

sub messages ($api, $want) {
    my $all = $api->data->all;
    return scalar @$all if $want->{count};

    my @found = @$all;
    @found = grep { ($_->{message}{content} // '') eq $want->{content} } @found if defined $want->{content};
    return [map { {
        %{$_->{message}},
        idempotencyKey => $_->{key},
        account        => $_->{account}{name},
        environment    => $_->{account}{environment},
        times          => $_->{times},
    } } @found];
}

sub held ($api, $want) {
    return scalar @{$api->held} if $want->{count};
    return [map { {n => $_->{record}{n}, target => $_->{record}{target}, when => $_->{when}} } @{$api->held}];
}

# event and state narrow the list; count as above.

sub deliveries ($api, $want) {
    my @found = @{$api->webhooks->journal};
    for my $field (grep { defined $want->{$_} } qw(event state)) {
        @found = grep { $_->{$field} eq $want->{$field} } @found;
    }
    return $want->{count} ? scalar @found : \@found;
}

# event, data, timestamp; or event and body, for other bytes.

sub send_event ($api, $want) {
    my $body = $want->{body} // Chatmaid::Sandbox::Webhooks::event(
        grep { defined } $want->{event}, $want->{data} // {}, $want->{timestamp});
    return [$api->webhooks->send($want->{event}, $body)];
}

sub connections ($api, $want) {
    return [map { {id => $_->{id}, requests => $_->{requests}, sni => $_->{sni}} }
            sort { $a->{id} <=> $b->{id} } values %{$api->{connections} // {}}];
}

sub state ($api, $want) {
    return {
        requests    => scalar @{$api->journal},
        messages    => scalar @{$api->data->all},
        faults      => scalar @{$api->faults},
        held        => scalar @{$api->held},
        connections => scalar keys %{$api->{connections} // {}},
        accepted    => $api->{accepted} // 0,
    };
}

1;
